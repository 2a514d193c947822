"""HTTP contract (api.md §7), case by case, through a real server and a real store."""
