"""Training a byte-level BPE tokenizer on a study's own text, and loading tokenizers from base folders."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.models.checkpoint_files import PREPARE_AGAIN, check_json
from clinical_peft.recipes.families import Family, find_family

BYTES = 256


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, family: Family) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, which can spell any text.

    The padding token has id 0 and is used for nothing else. A causal tokenizer frames a text by its start and end
    tokens, an encoder's by [CLS] and [SEP].

    Args:
        texts: Training texts, read once.
        vocabulary: Tokens, special ones included; fewer when the texts have no more pairs to merge.
        family: Kind of network that will read the tokens.

    Raises:
        DataError: The vocabulary is smaller than the bytes and the special tokens, which it must hold.
    """
    special, (start, end) = find_family(family).special_tokens, find_family(family).frame
    smallest = BYTES + len(special)
    if vocabulary < smallest:
        raise DataError(f"vocabulary is {vocabulary}; expected at least {smallest} (all bytes and special tokens)")
    tokenizer = Tokenizer(models.BPE(unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, tokenizer.token_to_id(start)), (end, tokenizer.token_to_id(end))],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="right", **special)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a base folder's tokenizer exactly as tokenizer.json describes it.

    Raises:
        TrainingError: There is no tokenizer, or it has no padding token of its own.
        DataError: tokenizer.json is empty, cut short or a Git LFS pointer.
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").exists():
        raise TrainingError(f"{folder}: expected tokenizer.json, found none; prepare the base again")
    check_json(folder / "tokenizer.json", remedy=PREPARE_AGAIN)
    # The generic class takes tokenizer.json as it is; a model's own class may rebuild the pipeline around it.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise TrainingError(f"{folder}: expected a dedicated padding token, found none; prepare the base again")
    return tokenizer


def frame_ids(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return the ids before and after every text: in token shards, in fine-tuning and in pooled features alike.

    They are what the tokenizer's own template adds. Where it puts nothing in front of a text, the start token (or
    [CLS]) comes first; where it puts nothing behind one, the end token (or [SEP]) comes last, and for a causal network
    also where the template ends with another token.
    """
    before, after = template_ids(tokenizer)
    is_causal = tokenizer.cls_token_id is None
    start = tokenizer.bos_token_id if is_causal else tokenizer.cls_token_id
    end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    if not before and start is not None:
        before = [start]
    if end is not None and (not after or (is_causal and after[-1] != end)):
        after = [*after, end]
    return before, after


def template_ids(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer's own template puts before and after a text."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    framed = backend.encode("a")
    added = framed.special_tokens_mask
    before = next((place for place, special in enumerate(added) if not special), len(added))
    after = next((place for place, special in enumerate(reversed(added)) if not special), 0)
    return framed.ids[:before], framed.ids[len(added) - after :]


def room_for_text(tokenizer: PreTrainedTokenizerFast, context: int) -> int:
    """Return how many tokens of a note's text a classifier reads beside the frame, within its context.

    Where the template of a causal tokenizer ends a text itself, one position more stays free, since `docs/models.md`
    lets the tokenizer cut a note as if the end token had still to be added.
    """
    start, end = frame_ids(tokenizer)
    has_own_end = tokenizer.cls_token_id is None and template_ids(tokenizer)[1][-1:] == [tokenizer.eos_token_id]
    return context - len(start) - len(end) - has_own_end


def highest_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the largest token id; ids may have gaps, so it can exceed the number of tokens."""
    return max(tokenizer.get_vocab().values())
