"""A study as one HTML file that needs nothing else: no network, no server, no growlab.

page.py       the file: head, sections, data, scripts
sections.py   which sections there are, in reading order; a file for each sort of content:
              summary.py, leaderboard.py, plots.py, ablation.py, failures.py
markup.py     elements, escaped; figure.py: a chart as an element, and its data apart
script.py     the library that draws, made once and kept
page.css, page.js
"""

from growlab.page.page import page_of
from growlab.page.writing import write_page

__all__ = ["page_of", "write_page"]
