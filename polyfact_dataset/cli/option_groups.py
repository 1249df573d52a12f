"""Options that several commands share, as dataclasses: a command takes the group, the command line its fields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

Result = TypeVar("Result")


def option_groups(command: Callable[..., Result]) -> Callable[..., Result]:
    """The command with each parameter that is a dataclass replaced by the fields of the dataclass, all as keywords.

    The default of such a parameter holds the defaults of its fields; without one they are those of the dataclass.
    Fields that are not parameters of the dataclass (`init=False`) are left out.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        name, annotation = parameter.name, hints[parameter.name]
        if not (isinstance(annotation, type) and dataclasses.is_dataclass(annotation)):
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation))
            continue
        fields = [field for field in dataclasses.fields(annotation) if field.init]
        types = get_type_hints(annotation, include_extras=True)
        groups[name] = annotation, [field.name for field in fields]
        for field in fields:
            default = parameter.empty if field.default is dataclasses.MISSING else field.default
            if parameter.default is not parameter.empty:
                default = getattr(parameter.default, field.name)
            parameters.append(
                inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=default, annotation=types[field.name])
            )
    signature = inspect.Signature(parameters)

    @wraps(command)
    def flat(**options: Any) -> Result:
        bound = signature.bind(**options)
        bound.apply_defaults()
        values = dict(bound.arguments)
        built = {
            name: group(**{field: values.pop(field) for field in names}) for name, (group, names) in groups.items()
        }
        return command(**values, **built)

    del flat.__wrapped__
    flat.__signature__ = signature  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat
