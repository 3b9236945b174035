"""Files that people and other tools read and write: curated sets and review sheets out, answers in."""
