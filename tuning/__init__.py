"""Searches FitConfig on stored features: python -m tuning.search"""
