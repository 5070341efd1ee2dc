"""A run or an export behind HTTP: a page to try it on, and the JSON API that the page uses."""
