//go:build js && wasm

// Command browser runs labs in a browser. It is built for WebAssembly by
// scripts/browser, beside page.html, which calls what it finds in the global object
// plinksim: start(topology, hear) makes a lab and hands back what can be done with it,
// and hear.KIND(JSON) is called as things happen.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall/js"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
)

func main() {
	js.Global().Set("plinksim", object(map[string]func(args []js.Value) (any, error){
		"start": func(args []js.Value) (any, error) { return start(args[0].String(), args[1]) },
	}))
	select {}
}

// start makes a lab of a topology.
func start(text string, hear js.Value) (js.Value, error) {
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	if err != nil {
		return js.Value{}, err
	}
	running, err := lab.Start(context.Background(), lab.Config{Plan: plan, Machine: netstack.New()})
	if err != nil {
		return js.Value{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{lab: running, hear: hear}
	if err := p.listen(ctx); err != nil {
		cancel()
		return js.Value{}, errors.Join(err, running.Close(context.Background()))
	}
	calls := p.calls(ctx)
	calls["close"] = func([]js.Value) (any, error) {
		cancel()
		return nil, running.Close(context.Background())
	}
	return object(calls), nil
}

// object is a JavaScript object with functions that return promises.
func object(calls map[string]func(args []js.Value) (any, error)) js.Value {
	out := js.Global().Get("Object").New()
	for name, call := range calls {
		out.Set(name, js.FuncOf(func(_ js.Value, args []js.Value) any { return promise(func() (any, error) { return call(args) }) }))
	}
	return out
}

// promise runs a call that may wait, for which the thread of the page has no time. What
// is neither an object nor nil becomes JSON.
func promise(call func() (any, error)) js.Value {
	run := js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			result, err := call()
			if err != nil {
				reject.Invoke(js.Global().Get("Error").New(err.Error()))
				return
			}
			if value, ok := result.(js.Value); ok {
				resolve.Invoke(value)
				return
			}
			resolve.Invoke(encoded(result))
		}()
		return nil
	})
	defer run.Release()
	return js.Global().Get("Promise").New(run)
}

func encoded(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf(`{"error": %q}`, err)
	}
	return string(text)
}
