"""growlab data"""

import json

from growlab.commands.options import Json, Plugin
from growlab.escapes import visible


def data(as_json: Json = False, plugin: Plugin = None) -> None:
    """List the data sources and tokenisers that a study may name."""
    from growlab.data import list_sources, list_tokenizers
    from growlab.plugins import load_plugins

    load_plugins(plugin or [])
    sources = [{"source": name, "summary": summary} for name, summary in list_sources()]
    tokenizers = [{"tokenizer": name, "summary": summary} for name, summary in list_tokenizers()]
    if as_json:
        print(json.dumps({"sources": sources, "tokenizers": tokenizers}, indent=2))
        return
    for row in sources:
        print(visible(f"source     {row['source']:<16} {row['summary']}"))
    for row in tokenizers:
        print(f"tokenizer  {row['tokenizer']:<16} {row['summary']}")
