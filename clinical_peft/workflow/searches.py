"""What the jobs of a hyperparameter search read, and what they find."""

from functools import cached_property
from typing import Any

from clinical_peft.config import experiments
from clinical_peft.config.ablations import plain
from clinical_peft.config.search_spaces import Search, as_record
from clinical_peft.errors import ConfigError
from clinical_peft.workflow.study_folder import Files, StudyFolder, Wildcards


class SearchFiles(StudyFolder):
    """Searches for recipes, each named `{model}/{task}` or `adapters/{adapter}`."""

    @cached_property
    def searches(self) -> dict[str, Search]:
        """Searches that the selected jobs need, by name."""
        return experiments.searches_in_use(self.study)

    def search(self, name: str) -> Search:
        """Return a search by its name.

        Raises:
            ConfigError: The study searches no such recipe.
        """
        if name not in self.searches:
            raise ConfigError(f"study {self.study.study}: searches no recipe for {name}")
        return self.searches[name]

    def model_search(self, wildcards: Wildcards) -> dict[str, Any]:
        """The search for a model's recipe on a task, as a record."""
        return as_record(self.search(f"{wildcards.model}/{wildcards.task}"))

    def adapter_search(self, wildcards: Wildcards) -> dict[str, Any]:
        """The search for an adapter's recipe, as a record."""
        return as_record(self.search(f"adapters/{wildcards.adapter}"))

    def model_trials(self, wildcards: Wildcards) -> list[str]:
        """Trials of every worker that searches a model's recipe."""
        return self._trials(f"{wildcards.model}/{wildcards.task}")

    def adapter_trials(self, wildcards: Wildcards) -> list[str]:
        """Trials of every worker that searches an adapter's recipe."""
        return self._trials(f"adapters/{wildcards.adapter}")

    def _trials(self, name: str) -> list[str]:
        workers = range(self.search(name).planned_workers)
        return [f"{self.root}/search/{name}/worker{worker}.json" for worker in workers]

    def best_model_recipe(self, wildcards: Wildcards) -> Files:
        """What a model's search found, if its recipe is searched; under a switch the model keeps that recipe."""
        return self._best(f"{plain(wildcards.model)}/{plain(wildcards.task)}")

    def best_adapter_recipe(self, wildcards: Wildcards) -> Files:
        """What an adapter's search found, if its recipe is searched; under a switch the adapter keeps that recipe."""
        return self._best(f"adapters/{plain(wildcards.adapter)}")

    def _best(self, name: str) -> Files:
        return f"{self.root}/search/{name}.json" if name in self.searches else []

    def best_recipes(self, wildcards: Wildcards | None = None) -> list[str]:
        """Best recipe and table of trials of every search."""
        return [f"{self.root}/search/{name}.{suffix}" for name in self.searches for suffix in ("json", "csv")]

    def search_logs(self) -> list[str]:
        """Folders of run logs of every worker."""
        return [
            f"{self.root}/runs/search/{name}/worker{worker}"
            for name, search in self.searches.items()
            for worker in range(search.planned_workers)
        ]
