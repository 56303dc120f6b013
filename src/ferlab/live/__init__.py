"""Faces in pictures, videos and cameras: detect, track, crop, answer, smooth. Imports no training code."""
