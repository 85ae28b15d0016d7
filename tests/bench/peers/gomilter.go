// The benchmark's jobs as a Go filter on emersion's go-milter, written as its documentation teaches.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o gomilter gomilter.go
//	./gomilter inet:PORT@127.0.0.1|unix:PATH noop|headers|body
//
// Debian: golang-go, golang-github-emersion-go-milter-dev
package main

import (
	"fmt"
	"hash"
	"hash/fnv"
	"log"
	"net"
	"os"
	"strings"

	"github.com/emersion/go-milter"
)

// headers: looks at each field, adds one at the end.
type headers struct {
	milter.NoOpMilter
	fields, octets int
}

func (h *headers) Header(name, value string, _ *milter.Modifier) (milter.Response, error) {
	h.fields++
	h.octets += len(name) + len(value) - strings.Count(value, "\n") // the value unfolded
	return milter.RespContinue, nil
}

func (h *headers) Body(m *milter.Modifier) (milter.Response, error) {
	text := fmt.Sprintf("fields=%d octets=%d", h.fields, h.octets)
	if err := m.AddHeader("X-Bench", text); err != nil {
		return nil, err
	}
	return milter.RespAccept, nil // which is what makes the library begin anew
}

// body: hashes every octet, adds one field at the end.
type body struct {
	milter.NoOpMilter
	octets int
	hash   hash.Hash32
}

func (b *body) BodyChunk(chunk []byte, _ *milter.Modifier) (milter.Response, error) {
	b.octets += len(chunk)
	b.hash.Write(chunk)
	return milter.RespContinue, nil
}

func (b *body) Body(m *milter.Modifier) (milter.Response, error) {
	text := fmt.Sprintf("octets=%d fnv1a=%08x", b.octets, b.hash.Sum32())
	if err := m.AddHeader("X-Bench", text); err != nil {
		return nil, err
	}
	return milter.RespAccept, nil
}

const allButHeader = milter.OptNoConnect | milter.OptNoHelo | milter.OptNoMailFrom | milter.OptNoRcptTo | milter.OptNoEOH

func serverFor(job string) milter.Server {
	switch job {
	case "noop":
		// every event comes and is answered, nothing is done; DATA never comes, as the library speaks version 2
		return milter.Server{NewMilter: func() milter.Milter { return milter.NoOpMilter{} }}
	case "headers":
		return milter.Server{
			NewMilter: func() milter.Milter { return &headers{} },
			Actions:   milter.OptAddHeader,
			Protocol:  allButHeader | milter.OptNoBody,
		}
	case "body":
		return milter.Server{
			NewMilter: func() milter.Milter { return &body{hash: fnv.New32a()} },
			Actions:   milter.OptAddHeader,
			Protocol:  allButHeader | milter.OptNoHeaders,
		}
	}
	log.Fatalf("gomilter: job %q is unknown, expected noop, headers or body", job)
	panic("unreachable")
}

// listen opens inet:PORT@ADDRESS or unix:PATH.
func listen(spec string) (net.Listener, error) {
	if path := strings.TrimPrefix(spec, "unix:"); path != spec {
		return net.Listen("unix", path)
	}
	port, host, _ := strings.Cut(strings.TrimPrefix(spec, "inet:"), "@")
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: gomilter inet:PORT@ADDRESS|unix:PATH noop|headers|body")
	}
	server := serverFor(os.Args[2])
	listener, err := listen(os.Args[1])
	if err != nil {
		log.Fatalf("gomilter: could not listen on %q: %v", os.Args[1], err)
	}
	log.Fatal(server.Serve(listener))
}
