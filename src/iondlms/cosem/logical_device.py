"""A logical device: the objects that one SAP answers for, and the list of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from iondlms.codec import make
from iondlms.codec.axdr import NULL, Data
from iondlms.codec.obis import ObisCode
from iondlms.cosem.association_ln import AssociationLn
from iondlms.cosem.interface import AssociationView, Interface, Selection
from iondlms.errors import LocalError, ObjectClassInconsistent, ObjectUndefined

__all__ = ["CURRENT_ASSOCIATION", "LogicalDevice"]

CURRENT_ASSOCIATION: Final = ObisCode.parse("0-0:40.0.0*255")


class LogicalDevice:
    """Objects by logical name, the present association among them.

    LocalError if two objects carry one logical name.
    """

    def __init__(self, objects: Iterable[Interface]) -> None:
        self._objects: dict[ObisCode, Interface] = {}
        self.replace(objects)

    def replace(self, objects: Iterable[Interface]) -> None:
        """Answer for other objects from now on, open associations included; LocalError as when made."""
        made: dict[ObisCode, Interface] = {}
        for item in (AssociationLn(CURRENT_ASSOCIATION, self.object_list), *objects):
            if item.logical_name in made:
                raise LocalError(f"two objects are called {item.logical_name}")
            made[item.logical_name] = item
        self._objects = made

    @property
    def objects(self) -> tuple[Interface, ...]:
        """All objects, the association first."""
        return tuple(self._objects.values())

    def find(self, class_id: int, logical_name: ObisCode) -> Interface:
        """Return an object; ObjectUndefined, or ObjectClassInconsistent if its class is another."""
        item = self._objects.get(logical_name)
        if item is None:
            raise ObjectUndefined(f"no object {logical_name}")
        if item.class_id != class_id:
            raise ObjectClassInconsistent(f"{logical_name} is of class {item.class_id}, not {class_id}")
        return item

    def get(
        self,
        class_id: int,
        logical_name: ObisCode,
        attribute_id: int,
        selection: Selection | None,
        view: AssociationView,
    ) -> Iterable[bytes]:
        """Return an attribute's encoded value in pieces; AccessError if it cannot be had."""
        return self.find(class_id, logical_name).get(attribute_id, selection, view)

    def set(
        self,
        class_id: int,
        logical_name: ObisCode,
        attribute_id: int,
        selection: Selection | None,
        value: Data,
        view: AssociationView,
    ) -> None:
        """Set an attribute; AccessError if it cannot be set, and then nothing has changed."""
        self.find(class_id, logical_name).set(attribute_id, selection, value, view)

    def object_list(self, view: AssociationView) -> Data:
        """Return array of structure {class, version, logical name, access rights} as this client has them."""
        return make.array(_element(item, view) for item in self._objects.values())


def _element(item: Interface, view: AssociationView) -> Data:
    attributes = make.array(
        make.structure(
            make.integer(attribute_id),
            make.enum(item.access(attribute_id, view)),
            make.array(map(make.integer, attribute.selectors)) if attribute.selectors else NULL,
        )
        for attribute_id, attribute in sorted(item.attributes.items())
    )
    # Action is not offered by these meters: every method is listed, none may be called.
    methods = make.array(
        make.structure(make.integer(method_id), make.enum(0)) for method_id in sorted(item.methods)
    )
    return make.structure(
        make.long_unsigned(item.class_id),
        make.unsigned(item.version),
        make.octet_string(item.logical_name.octets),
        make.structure(attributes, methods),
    )
