"""What `changeover doctor` does: a real server of the user's application, examined, swapped, rolled, and judged."""
