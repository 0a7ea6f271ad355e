"""What all HTML pages share: one palette, one theme, one frame, and how a page draws figures.

`palette` holds every colour, `frame` makes the page, and `figures` puts plotly's figures into it.
A page loads nothing: style, programs and data are inside it, so that it can be passed on as a file.
"""
