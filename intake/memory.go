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

// maxUnpacking is how many bodies are unpacked at once. A frame of zstd may
// ask for a window as large as the largest body before it brings any of it.
const maxUnpacking = 4

// memory is what is left.
type memory struct{ bodies, unpackers *semaphore.Weighted }

func newMemory() memory {
	return memory{semaphore.NewWeighted(maxBodies), semaphore.NewWeighted(maxUnpacking)}
}

// allowance is the memory set aside for one request.
type allowance struct {
	memory
	held   int64
	waited time.Duration // for all of it
}

func (a *allowance) release() { a.bodies.Release(a.held); a.held = 0 }

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
		if err := a.take(ctx, a.bodies, int64(size-cap(b))); err != nil {
			return nil, err
		}
		a.held += int64(size - cap(b))
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
