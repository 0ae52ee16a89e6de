// Command gateway stands in front of other services: it sends a request on by the first part of its path.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gateway/internal/route"
)

func main() {
	table, err := route.Parse(os.Getenv("GATEWAY_ROUTES"))
	if err != nil {
		log.Fatalf("GATEWAY_ROUTES: %v", err)
	}
	server := &http.Server{
		Addr:              ":8080",
		Handler:           route.Handler(table),
		ReadHeaderTimeout: 5 * time.Second,
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ended.Done()
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	}()
	log.Printf("listening on %s with %d routes", server.Addr, len(table))
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
