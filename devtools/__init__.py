"""What does a developer's machine need: keys, the stand-in systems, a sample history, the reference, the SBOM?"""
