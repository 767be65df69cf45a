"""The live page of a store: a map, a gallery, each sample beside what is near, prototypes, suggestions, search, triage.

`app.make_app` makes it; `embedstore serve` runs it. The server reads the store and renders, with the parts of
`embedstore.pages`, what the terminal and the files show, and writes what people decide by `embedstore.triage`; the scripts in
`static` draw the map, move between views and keep decisions until they are saved.
"""
