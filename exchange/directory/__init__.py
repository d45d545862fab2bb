"""Users, keys, assets, instruments and fee schedules: the one shard every host follows."""
