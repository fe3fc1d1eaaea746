package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var (
	errMalformed = errors.New("malformed HTTP answer")
	headEnd      = []byte("\r\n\r\n")
	lengthField  = []byte("\r\nContent-Length: ")
	idMember     = []byte(`"id":"`)
)

// answer is one HTTP answer inside a connection's read buffer, valid until the next read.
type answer struct {
	status int
	head   []byte // status line and fields
	body   []byte
}

// parseAnswer reads one answer from the front of b and returns its length in bytes; 0 = incomplete. It knows as much of
// HTTP/1.1 as the servers measured here speak: a Content-Length, no chunks.
func parseAnswer(b []byte) (answer, int, error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return answer{}, 0, nil
	}
	if end < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		return answer{}, 0, errMalformed
	}
	status, err := strconv.Atoi(string(b[9:12]))
	if err != nil {
		return answer{}, 0, errMalformed
	}
	head := b[:end+2]
	length, err := contentLength(head, status)
	if err != nil {
		return answer{}, 0, err
	}
	total := end + len(headEnd) + length
	if len(b) < total {
		return answer{}, 0, nil
	}
	return answer{status: status, head: head, body: b[end+len(headEnd) : total]}, total, nil
}

func contentLength(head []byte, status int) (int, error) {
	at := bytes.Index(head, lengthField)
	if at < 0 {
		if status == 204 {
			return 0, nil
		}
		return 0, fmt.Errorf("%w: no Content-Length", errMalformed)
	}
	n := 0
	for _, c := range head[at+len(lengthField):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}

// member returns the text of a JSON string member of a flat object; nil when it is absent. Good enough for ids and times,
// which contain no escapes.
func member(body, name []byte) []byte {
	at := bytes.Index(body, name)
	if at < 0 {
		return nil
	}
	rest := body[at+len(name):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil
	}
	return rest[:end]
}
