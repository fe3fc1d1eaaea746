package openapi

import (
	_ "embed"
)

// Redoc is vendored: `make vendor/redoc` fetches it anew and checks its sum. It is sent as it is stored, compressed: every
// browser takes gzip.
var (
	//go:embed assets/redoc.standalone.js.gz
	redoc []byte
	//go:embed assets/redoc.LICENSE
	redocLicense []byte
	//go:embed assets/docs.html
	docsPage []byte
	//go:embed assets/docs.js
	docsScript []byte
)

// ContentSecurityPolicy of the pages: nothing comes from elsewhere, nothing goes elsewhere. Redoc writes its styles into the
// page, and its search runs in a worker made of a blob.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
	"connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is a file that is served beside the API.
type Page struct {
	Path, ContentType string
	Encoding          string // Content-Encoding of Body; empty = none
	Body              []byte
}

// Pages shows the document at /docs.
func Pages() []Page {
	const script = "text/javascript; charset=utf-8"
	return []Page{
		{Path: "/docs", ContentType: "text/html; charset=utf-8", Body: docsPage},
		{Path: "/docs/docs.js", ContentType: script, Body: docsScript},
		{Path: "/docs/redoc.js", ContentType: script, Encoding: "gzip", Body: redoc},
		{Path: "/docs/redoc.LICENSE", ContentType: "text/plain; charset=utf-8", Body: redocLicense},
	}
}
