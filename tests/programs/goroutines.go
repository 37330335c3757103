// Go's runtime at work: goroutines that sleep and make garbage, goroutines that never yield and so are
// preempted by signals, and a server that answers with one line: memory whole, turns, ticks.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

var turns, ticks atomic.Int64
var garbage atomic.Pointer[[]byte]

// Argument: the address to listen on.
func main() {
	held := bytes.Repeat([]byte("held by the server "), 2<<20)
	wanted := sha256.Sum256(held)
	for i := 0; i < 200; i++ {
		go func() {
			for {
				time.Sleep(time.Millisecond)
				ticks.Add(1)
				piece := make([]byte, 10000)
				garbage.Store(&piece)
			}
		}()
	}
	for i := 0; i < 2; i++ {
		go func() {
			for n := 1; ; n++ {
				if n%1000000 == 0 {
					turns.Add(1)
				}
			}
		}()
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answer := func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		fmt.Fprintf(w, "%v %d %d\n", sha256.Sum256(held) == wanted, turns.Load(), ticks.Load())
	}
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(answer)))
}
