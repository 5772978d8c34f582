// Package commandlinetest helps tests that run a program within their own
// process.
package commandlinetest

import (
	"bytes"
	"sync"
)

// Output is what a program writes to, and a test reads while it is written. The
// zero value is empty.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
