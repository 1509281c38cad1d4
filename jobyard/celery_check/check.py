"""Reads a code base twice: first for what its names stand for, then for what is to be said about them."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from jobyard.celery_check.check_file import check_file
from jobyard.celery_check.finding import Finding, Unread, Verdict
from jobyard.celery_check.module import Module, read_module
from jobyard.celery_check.project import Project
from jobyard.celery_check.rules.configuration import sets_acks_late, sources_of_settings
from jobyard.celery_check.source_file import SourceFile, UnreadableError, parse_source, read_source
from jobyard.celery_check.source_tree import Candidate, Walk


@dataclass
class Checked:
    """What was found under a path; the files that use Celery are kept by their path."""

    root: Path
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    project: Project = field(default_factory=Project)
    modules: dict[Path, Module] = field(default_factory=dict)

    @cached_property
    def counts(self) -> Counter[Verdict]:
        return Counter(finding.verdict for finding in self.findings)

    @property
    def all_moves(self) -> bool:
        """Tell whether nothing is left for a person to do."""
        needs_a_hand = self.counts[Verdict.REFUSED] + self.counts[Verdict.BY_HAND]
        return not needs_a_hand and not any(unread.needs_a_look for unread in self.unread)


def check(root: Path) -> Checked:
    """Read everything under a path; what cannot be read is listed."""
    walk = Walk(root)
    checked = Checked(root)
    for candidate in walk.candidates():
        _collect(checked, candidate)
    checked.files, checked.unread = walk.files, [*walk.unread, *checked.unread]
    for path, module in checked.modules.items():
        try:
            source = read_source(walk.shown(path), path)
            checked.findings += check_file(checked.project, module, source)
        except RecursionError:
            checked.unread.append(Unread(walk.shown(path), "its expressions are too deep", needs_a_look=True))
        except (OSError, UnreadableError) as error:  # it changed meanwhile
            checked.unread.append(Unread(walk.shown(path), str(error), needs_a_look=True))
    return checked


def _collect(checked: Checked, candidate: Candidate) -> None:
    try:
        source = parse_source(candidate.shown, candidate.data)
        names = _names_of(checked.root, candidate.path)
        module = read_module(source.tree, names[0], candidate.path.name == "__init__.py")
        _collect_settings(checked.project, module, source)
    except (UnreadableError, RecursionError) as error:
        checked.unread.append(Unread(candidate.shown, str(error), needs_a_look=True))
        return
    checked.modules[candidate.path] = module
    checked.project.add(module, *names[1:])


def _collect_settings(project: Project, module: Module, source: SourceFile) -> None:
    project.acks_late |= sets_acks_late(source.tree)
    for named, namespace in sources_of_settings(source.tree):
        if namespace:
            project.namespaces.add(namespace)
        elif named and not named.startswith("django.conf"):
            name = named.replace(":", ".")
            meant = project.meant(module, name)
            project.config_modules.update((name, meant if isinstance(meant, str) else meant.module))
            project.config_classes.add(name.rpartition(".")[2])


def _names_of(root: Path, path: Path) -> list[str]:
    """Return the module's names: from its outermost package, and from the path that was given."""
    folder = root if root.is_dir() else root.parent
    parts = list(path.relative_to(folder).with_suffix("").parts)
    outermost = len(parts) - 1
    while outermost and (folder.joinpath(*parts[:outermost]) / "__init__.py").exists():
        outermost -= 1
    if parts[-1] == "__init__":
        parts.pop()
    names = [".".join(parts[at:]) for at in (outermost, *range(outermost))]
    # A package that is itself the path that was given: its name is the folder's.
    if (folder / "__init__.py").exists():
        names.insert(0, ".".join([folder.resolve().name, *parts]))
    return [name for name in dict.fromkeys(names) if name] or [path.stem]
