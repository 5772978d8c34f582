// Package embedded holds the servers of the embedded default: an in-process
// NATS without a port and a private Postgres found on the machine, behind a
// lock on the data directory.
//
// # Promises
//
// A directory has one owner. Its lock belongs to the process and ends with it,
// also by kill -9, so there is no stale lock to remove by hand. Whoever else
// wants the directory gets a [LockedError] that names the owner; whoever only
// wants to talk to the owner asks [Find].
//
// What was acknowledged stays. NATS flushes to the disk before it acknowledges
// (SyncAlways), and Postgres commits with fsync on. Only a caller who says so,
// with LazySync or Throwaway, gets less.
//
// Nothing is left behind. Neither server listens on a network port. Both end
// with the program: NATS lives inside it, and Linux stops Postgres when the
// program dies however it dies. What did stay behind, as it can elsewhere, is
// recognised at the next start and stopped in good order before a new server
// runs on the same data.
//
// Root is welcome. Postgres refuses to run as root, so it then runs as user
// postgres, as nobody, or as this user inside a user namespace, the first of
// them that works.
//
// # Refusals
//
// It downloads nothing: without Postgres programs on the machine it says where
// it looked and what to install. It changes no data of another major version,
// it never deletes a postmaster.pid, it makes no role, no database and no table
// beyond what initdb makes, and it restarts no server that died: it says so on
// [Postgres.Done] and leaves the decision to the program. It needs flock and
// users as Unix has them: it builds on Linux, macOS and FreeBSD.
//
// Connections to Postgres are trusted. The guard is the private directory its
// socket lies in, which admits the server's own user and root. Run as nobody,
// that is every process of nobody: a machine where that matters has a user
// postgres.
//
// # A data directory
//
//	.roomtrail/                   opened by OpenDir
//	├── LOCK                      held by the owner, holds its process id
//	├── endpoint.json             where the owner can be reached; written by Publish
//	├── nats/                     NATSConfig.Dir
//	│   ├── nats.lock             held by the process the server runs in
//	│   └── jetstream/            streams
//	└── postgres/                 PostgresConfig.Dir
//	    ├── postgres.lock         held by the process that started the server
//	    ├── postgres.log          what the server says; one predecessor is kept
//	    ├── data.tmp-1234/        initdb at work; becomes data/ when it is whole
//	    └── data/                 the cluster, owned by the user the server runs as
//
//	$TMPDIR/roomtrail-pg-1234/    the socket, since its path may have 103 bytes only
package embedded
