"""Search engines outside of the store: a copy of it that many can search, and that is rebuilt from it at any time.

The store stays the truth. An engine only proposes; what it proposes is ranked by the store's own vectors, and a copy that is out
of step with the store is refused.
"""

from embedstore.search_engines.copies import ENGINES, SearchExport, open_export
from embedstore.search_engines.exporting import EngineExport, export_to

__all__ = ["ENGINES", "EngineExport", "SearchExport", "export_to", "open_export"]
