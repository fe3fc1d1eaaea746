package openapi

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

//go:embed parts/*.json parts/about.md
var parts embed.FS

// order of the tags in the document, and the files that hold them.
var order = []string{"auth", "me", "restaurants", "rules", "tables", "reservations", "reviews", "staff", "node"}

// Problem is a row of the table code → status → retry.
type Problem struct {
	Code, Title string
	Status      int
	Retry       int // seconds of Retry-After; 0 = the same request will not do better
}

type object = map[string]any

// Document is the OpenAPI document as JSON, with the problems that the API knows, in their order. A part that names a code
// which is not among them is an error, and so is a path, tag or component that two parts define.
func Document(problems []Problem) ([]byte, error) {
	doc, err := readPart("base")
	if err != nil {
		return nil, err
	}
	for _, name := range order {
		part, err := readPart(name)
		if err != nil {
			return nil, err
		}
		if err := join(doc, part); err != nil {
			return nil, fmt.Errorf("openapi: part %s: %w", name, err)
		}
	}
	w := writer{problems: problems, responses: object{}}
	if err := w.expand(doc); err != nil {
		return nil, err
	}
	about, err := fs.ReadFile(parts, "parts/about.md")
	if err != nil {
		return nil, err
	}
	doc["info"].(object)["description"] = strings.TrimSpace(string(about)) + "\n\n" + w.table()
	components := doc["components"].(object)
	components["responses"] = w.responses
	components["schemas"].(object)["ProblemCode"] = object{"type": "string", "description": "Stable; what a program decides by.", "enum": w.codes()}
	return json.Marshal(doc)
}

func readPart(name string) (object, error) {
	b, err := fs.ReadFile(parts, "parts/"+name+".json")
	if err != nil {
		return nil, err
	}
	var part object
	if err := json.Unmarshal(b, &part); err != nil {
		return nil, fmt.Errorf("openapi: part %s: %w", name, err)
	}
	return part, nil
}

// join adds a part's tags, paths and components to the document.
func join(doc, part object) error {
	if tags, ok := part["tags"].([]any); ok {
		doc["tags"] = append(doc["tags"].([]any), tags...)
	}
	if err := add(doc["paths"].(object), part["paths"]); err != nil {
		return err
	}
	all := doc["components"].(object)
	components, _ := part["components"].(object)
	for kind, more := range components {
		into, ok := all[kind].(object)
		if !ok {
			into = object{}
			all[kind] = into
		}
		if err := add(into, more); err != nil {
			return err
		}
	}
	return nil
}

func add(into object, more any) error {
	from, _ := more.(object)
	for name, v := range from {
		if _, twice := into[name]; twice {
			return fmt.Errorf("%s is defined twice", name)
		}
		into[name] = v
	}
	return nil
}

// expand writes the problems of every operation, by path and method.
func (w *writer) expand(doc object) error {
	paths := doc["paths"].(object)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods := paths[path].(object)
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			if err := w.operation(method, methods[method].(object)); err != nil {
				return fmt.Errorf("openapi: %s %s: %w", method, path, err)
			}
		}
	}
	return nil
}
