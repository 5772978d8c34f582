DROP TABLE roomtrail.rebuild_faults, roomtrail.rebuild_positions, roomtrail.rebuilds;
