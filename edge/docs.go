package edge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"

	"maitred/edge/openapi"
)

// problems are the rows of the whole table, by status, each code once.
func problems() []openapi.Problem {
	var rows []kind
	add := func(k kind) {
		if k.status >= 400 && !slices.ContainsFunc(rows, func(r kind) bool { return r.code == k.code }) {
			rows = append(rows, k)
		}
	}
	for _, k := range edgeKinds {
		add(k)
	}
	for _, k := range kindOfCode {
		add(k)
	}
	for _, row := range kindOfError {
		add(row.kind)
	}
	slices.SortStableFunc(rows, func(a, b kind) int { return cmp.Compare(a.status, b.status) })
	out := make([]openapi.Problem, 0, len(rows))
	for _, k := range rows {
		out = append(out, openapi.Problem{Code: k.code, Title: k.title, Status: k.status, Retry: k.retry})
	}
	return out
}

// page is a file that is the same for everybody as long as the process lives.
type page struct {
	body        []byte
	contentType string
	encoding    string // "gzip" or none
	policy      string // Content-Security-Policy; empty: that of the API
	etag        string
}

func newPage(contentType string, body []byte) *page {
	sum := sha256.Sum256(body)
	return &page{body: body, contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// serve sends the page, or 304 to who has it.
func (p *page) serve(x *exchange) {
	h := &x.ctx.Response.Header
	h.Set("ETag", p.etag)
	h.Set("Cache-Control", "no-cache") // may be kept, must be asked for again
	if p.policy != "" {
		h.Set("Content-Security-Policy", p.policy)
	}
	if string(x.ctx.Request.Header.Peek("If-None-Match")) == p.etag {
		h.SetNoDefaultContentType(true)
		h.Del("Content-Type")
		x.ctx.Response.SetStatusCode(304)
		return
	}
	h.SetContentType(p.contentType)
	if p.encoding != "" {
		h.Set("Content-Encoding", p.encoding)
	}
	x.replyShared(200, p.body)
}

// document is written once: it depends on the program alone.
var document = sync.OnceValues(func() ([]byte, error) { return openapi.Document(problems()) })

// documentation adds the document and the pages that show it.
func (s *Server) documentation() error {
	document, err := document()
	if err != nil {
		return err
	}
	s.plain("/openapi.json", newPage("application/json", document).serve)
	for _, asset := range openapi.Pages() {
		p := newPage(asset.ContentType, asset.Body)
		p.encoding, p.policy = asset.Encoding, openapi.ContentSecurityPolicy
		s.plain(asset.Path, p.serve)
	}
	return nil
}
