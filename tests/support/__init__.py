"""Servers, factories and builders that tests share; tests import nothing from other tests."""
