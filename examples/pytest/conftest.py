pytest_plugins = ["pytest_plinksim"]
