DROP TABLE roomtrail.leases, roomtrail.signs;
