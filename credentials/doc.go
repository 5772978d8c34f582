// Package credentials decides who may send events, and for whom.
//
// An app has keys of three kinds:
//
//	write   public, may stand in a page; a list of origins may narrow who uses it
//	token   signs short-lived tokens that the app's own back end makes for its users
//	server  signs whole requests of the app's own back end
//
// It promises: a credential that is expired, too early, revoked, of another
// algorithm than its key's or changed in one bit is refused, and the refusal
// says what would be right; an event that does not fit its credential is named
// with the field that does not; no app has more than two active keys of a kind,
// which is what a rotation needs.
//
// It refuses: to read a clock, a body or a store, to make chance, and to take
// the algorithm from the token instead of the key.
//
// What is kept of a key, and what a leak of that allows:
//
//	write            its SHA-256. Of 256 random bits that gives nothing away.
//	token, EdDSA     the public key. It gives nothing away either: the back end
//	                 keeps the private one, and nobody here has ever seen it.
//	token, HS256     the secret as it was printed. Whoever reads it can make
//	server, HS256    tokens and signatures of that app until it is revoked.
//
// HMAC has no one-way form: what verifies also signs. Keeping a digest and
// signing with that would only make the digest the secret, and every JWT library
// want a step that it does not have. So the secret is kept as it is, leaves the
// store with its revocation, and is guarded as the log is; who cannot have that
// takes EdDSA.
package credentials
