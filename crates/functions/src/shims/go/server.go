// Serves one Go function over a private socket, many calls at once. Standard library only.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/kubeless/kubeless/pkg/functions"
)

var (
	about = functions.Context{
		FunctionName: os.Getenv("FUNC_HANDLER"),
		Timeout:      os.Getenv("FUNC_TIMEOUT"),
		Runtime:      os.Getenv("FUNC_RUNTIME"),
		MemoryLimit:  os.Getenv("FUNC_MEMORY_LIMIT"),
	}
	exposes = isTrue(os.Getenv("FUNC_EXPOSE_ERRORS"))
	timeout = seconds(about.Timeout)
)

func isTrue(text string) bool {
	return text == "1" || strings.EqualFold(text, "true")
}

func seconds(text string) time.Duration {
	count, err := strconv.Atoi(text)
	if err != nil || count <= 0 {
		count = 180
	}
	return time.Duration(count) * time.Second
}

// tell says on the socket to the host that the program is loaded, or why it is not.
func tell(control *os.File, failure error) {
	said := map[string]string{}
	if failure != nil {
		said["error"] = failure.Error()
	}
	line, _ := json.Marshal(said)
	control.Write(append(line, '\n'))
}

// follow ends the process with the host: nothing is ever sent to it.
func follow(control *os.File) {
	control.Read(make([]byte, 1))
	os.Exit(0)
}

// fail answers for a function that did not.
func fail(response http.ResponseWriter, text string) {
	response.Header().Set("Windlass-Failed", "1")
	response.Header().Set("Content-Type", "text/plain; charset=utf-8")
	response.WriteHeader(http.StatusInternalServerError)
	io.WriteString(response, text)
}

func answer(response http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Windlass-Ping") != "" {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", cause, debug.Stack())
			if exposes {
				fail(response, fmt.Sprintf("Error: panic: %v", cause))
			} else {
				fail(response, "Internal Server Error")
			}
		}
	}()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		fail(response, "Incomplete body")
		return
	}
	// Functions may read the body themselves as well.
	request.Body = io.NopCloser(strings.NewReader(string(body)))
	deadline, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	event := functions.Event{
		Data:           string(body),
		EventID:        request.Header.Get("Event-Id"),
		EventType:      request.Header.Get("Event-Type"),
		EventTime:      request.Header.Get("Event-Time"),
		EventNamespace: request.Header.Get("Event-Namespace"),
		Extensions:     functions.Extension{Request: request, Response: response, Context: deadline},
	}
	result, err := handler(event, about)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		fail(response, fmt.Sprintf("Error: %v", err))
		return
	}
	io.WriteString(response, result)
}

func main() {
	// The program finds an empty standard input where the socket to the host was.
	control := os.Stdin
	os.Stdin, _ = os.Open(os.DevNull)
	listener, err := net.Listen("unix", os.Getenv("WINDLASS_SOCKET"))
	if err != nil {
		tell(control, err)
		os.Exit(1)
	}
	go follow(control)
	tell(control, nil)
	http.Serve(listener, http.HandlerFunc(answer))
}
