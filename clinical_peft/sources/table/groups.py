"""The subgroups of a user's table, in the form that metrics are compared by."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.patients import with_source
from clinical_peft.sources.table.rows import SUBGROUP
from clinical_peft.sources.table.spec import TableSpec


def write_subgroups(spec: TableSpec, imported: Path, output: Path) -> int:
    """Write the attributes of every imported row by which metrics are compared.

    Args:
        spec: The table.
        imported: What `import_table` wrote.
        output: Parquet file to write: hadm_id and a column per subgroup of the table, null where it is not recorded,
            "other" for a value that may not be printed; ordered by hadm_id.

    Returns:
        The number of rows.
    """
    table = pq.read_table(imported, columns=["hadm_id", *(SUBGROUP + column for column in spec.subgroups)])
    table = table.sort_by("hadm_id").rename_columns(["hadm_id", *spec.subgroups])
    schema = with_source(pa.schema([(name, table.schema.field(name).type) for name in table.column_names]), spec.name)
    with parquet_writer(output, schema) as writer:
        writer.write_table(table.combine_chunks().cast(schema))
    return int(table.num_rows)
