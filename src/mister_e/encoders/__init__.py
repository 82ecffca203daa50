"""From the words and the sound of a turn to one embedding each.

Nothing is imported here: `text` needs transformers, `speech` CTranslate2, and each is asked for by name.
"""
