"""The ready-made handlers, each written against what `changeover.plugin` offers to everybody."""
