DROP TABLE roomtrail.read_models, roomtrail.error_codes, roomtrail.profiles, roomtrail.quarantine,
    roomtrail.positions, roomtrail.events, roomtrail.identities;
DROP SEQUENCE roomtrail.identity_numbers;
