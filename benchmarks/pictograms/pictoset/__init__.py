"""The parts of the Pictograms builder, one noun a file."""
