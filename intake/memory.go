package intake

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/semaphore"
)

// What bodies may take of the memory at once, all together. A request that
// finds no room within admitWait is told to come back.
//
// The first bytes of a body are the connection's own, as its buffers are: what
// bounds them is the number of connections, see Listen. So small requests are
// taken whatever large ones do. Reading, splitting and storing a body takes
// some four times its size for a while, and the collector lets that double:
// with it the process stays under 512 MiB.
const (
	maxBodies = 48 << 20
	ownBytes  = 4 << 10
	admitWait = 2 * time.Second
)

// maxShare is what the bodies from one address may take of it: the largest one,
// packed and plain, fits. Who stalls with many keeps out none but himself.
const maxShare = maxBodies / 4

// maxUnpacking is how many bodies are unpacked at once. A frame of zstd may
// ask for a window as large as the largest body before it brings any of it.
const maxUnpacking = 4

// memory is what is left.
type memory struct {
	bodies, unpackers *semaphore.Weighted

	mu     sync.Mutex
	shares map[string]*share // by address, of those whose requests are being read
}

// share is what is left to an address.
type share struct {
	bodies   *semaphore.Weighted
	requests int
}

func newMemory() *memory {
	return &memory{bodies: semaphore.NewWeighted(maxBodies), unpackers: semaphore.NewWeighted(maxUnpacking), shares: map[string]*share{}}
}

// allowance is the memory set aside for one request.
type allowance struct {
	*memory
	address string
	own     *share // nil: held to no share
	held    int64
	waited  time.Duration // for all of it
}

// allow begins with nothing. Addresses of this machine are held to no share,
// as to no limit.
func (d *Door) allow(r *http.Request) *allowance {
	a := &allowance{memory: d.memory}
	address, isLocal := addressOf(clientAddr(r, d.config.TrustedProxies))
	if isLocal && !d.config.Limits.Loopback {
		return a
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.address, a.own = address, a.shares[address]
	if a.own == nil {
		a.own = &share{bodies: semaphore.NewWeighted(maxShare)}
		a.shares[address] = a.own
	}
	a.own.requests++
	return a
}

// release gives everything back; the allowance is not used afterwards.
func (a *allowance) release() {
	a.bodies.Release(a.held)
	if a.own == nil {
		return
	}
	a.own.bodies.Release(a.held)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.own.requests--; a.own.requests == 0 {
		delete(a.shares, a.address)
	}
}

// grow sets n bytes aside.
func (a *allowance) grow(ctx context.Context, n int64) error {
	if a.own != nil {
		if err := a.take(ctx, a.own.bodies, n); err != nil {
			return err
		}
	}
	if err := a.take(ctx, a.bodies, n); err != nil {
		if a.own != nil {
			a.own.bodies.Release(n)
		}
		return err
	}
	a.held += n
	return nil
}

// take takes n of a semaphore, or says that the door is busy.
func (a *allowance) take(ctx context.Context, of *semaphore.Weighted, n int64) error {
	if of.TryAcquire(n) {
		return nil
	}
	since := time.Now()
	ctx, cancel := context.WithTimeout(ctx, admitWait-a.waited)
	defer cancel()
	err := of.Acquire(ctx, n)
	a.waited += time.Since(since)
	if err != nil {
		f := faultf(http.StatusTooManyRequests, "too many requests are being read; keep the events and send them again")
		f.wait = time.Second
		return f
	}
	return nil
}

// errTooLarge is a reader that holds more than may be read of it.
var errTooLarge = errors.New("too large")

// read brings in what the reader has, at most limit bytes. Memory is set aside
// as the bytes come: a sender who promises much and sends little keeps nobody
// out.
func (a *allowance) read(ctx context.Context, r io.Reader, limit int) ([]byte, error) {
	b := make([]byte, 0, ownBytes)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		switch b = b[:len(b)+n]; {
		case len(b) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		case len(b) < cap(b):
			continue
		}
		size := min(2*cap(b), limit+1)
		if err := a.grow(ctx, int64(size-cap(b))); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
	}
}

// decoders are costly to make and safe to use again; no more are in use than
// unpack at once.
var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain+1), zstd.WithDecoderMaxWindow(maxPlain))
	if err != nil {
		panic(fmt.Sprintf("options of the zstd decoder are wrong: %v", err))
	}
	return d
}}

// unpack unpacks a body that is there as a whole.
func (a *allowance) unpack(ctx context.Context, encoding string, packed []byte, limit int) ([]byte, error) {
	if err := a.take(ctx, a.unpackers, 1); err != nil {
		return nil, err
	}
	defer a.unpackers.Release(1)
	if encoding == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		return a.read(ctx, zr, limit)
	}
	zr := decoders.Get().(*zstd.Decoder)
	defer func() { _ = zr.Reset(nil); decoders.Put(zr) }()
	if err := zr.Reset(bytes.NewReader(packed)); err != nil {
		return nil, err
	}
	return a.read(ctx, zr, limit)
}
