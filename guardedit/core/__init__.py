"""The words of guardedit as plain records, the seams as protocols, and the error tree. Knows nobody."""
