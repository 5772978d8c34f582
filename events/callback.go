package events

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"
)

// CallbackSignature is how the vendor signs a server callback: the lower-case
// hex SHA-1 of secret, timestamp and nonce in byte order, joined. It covers the
// triple and not the body (contract 2).
func CallbackSignature(secret, timestamp, nonce string) string {
	parts := []string{secret, timestamp, nonce}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}
