// Package route says which service answers which path.
package route

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sort"
	"strings"
)

// Table names the service behind the first part of a path.
type Table map[string]*url.URL

// Parse reads "orders=http://orders:8000,stock=http://stock:8000".
func Parse(text string) (Table, error) {
	table := Table{}
	for _, entry := range strings.Split(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, address, found := strings.Cut(entry, "=")
		target, err := url.Parse(address)
		if !found || err != nil || target.Host == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("%q is not NAME=URL", entry)
		}
		table[name] = target
	}
	return table, nil
}

// Handler answers for the gateway itself, and sends everything else on.
func Handler(table Table) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, names(table)) })
	for name, target := range table {
		proxy := &httputil.ReverseProxy{Rewrite: toward(target), ErrorHandler: unreachable(name)}
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, proxy))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusNotFound, "no such route") })
	return mux
}

func toward(target *url.URL) func(*httputil.ProxyRequest) {
	return func(request *httputil.ProxyRequest) {
		request.SetURL(target)
		request.SetXForwarded()
	}
}

func unreachable(name string) func(http.ResponseWriter, *http.Request, error) {
	return func(w http.ResponseWriter, _ *http.Request, err error) {
		log.Printf("%s: %v", name, err)
		answer(w, http.StatusBadGateway, name+" does not answer")
	}
}

func names(table Table) []string {
	found := make([]string, 0, len(table))
	for name := range table {
		found = append(found, name)
	}
	sort.Strings(found)
	return found
}

func answer(w http.ResponseWriter, status int, said any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"gateway": said})
}
