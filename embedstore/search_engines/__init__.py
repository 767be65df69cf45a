"""Search engines outside of the store: a copy of it that many can search, and that is rebuilt from it at any time.

The store stays the truth. An engine only proposes; what it proposes is ranked by the store's own vectors, and a copy that is out
of step with the store is refused.
"""

from embedstore.search_engines.copies import SearchExport, open_export
from embedstore.search_engines.engine import SearchEngine
from embedstore.search_engines.exporting import EngineExport, export_to
from embedstore.search_engines.registry import ENGINES

__all__ = ["ENGINES", "EngineExport", "SearchEngine", "SearchExport", "export_to", "open_export"]
