"""The page: layout, handlers, views, texts. Knows gradio, never torch."""
