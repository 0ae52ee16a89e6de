<?php

declare(strict_types=1);

namespace Storefront;

use FastRoute\Dispatcher;
use FastRoute\RouteCollector;
use Psr\Http\Message\ResponseInterface;
use Psr\Http\Message\ServerRequestInterface;
use Throwable;

use function FastRoute\simpleDispatcher;

/** Every request's way: route, answer, and a log line for what goes wrong. */
final class Application
{
    private Dispatcher $routes;

    public function __construct(private readonly Services $services)
    {
        $this->routes = simpleDispatcher(function (RouteCollector $routes): void {
            $routes->get('/healthz', $this->health(...));
            $routes->get('/', $this->window(...));
            $routes->get('/products/{id}', $this->product(...));
            $routes->post('/baskets', $this->open(...));
            $routes->get('/baskets/{id}', $this->basket(...));
            $routes->put('/baskets/{id}/{product}', $this->put(...));
        });
    }

    public function handle(ServerRequestInterface $request): ResponseInterface
    {
        try {
            $found = $this->routes->dispatch($request->getMethod(), rawurldecode($request->getUri()->getPath()));

            return match ($found[0]) {
                Dispatcher::FOUND => $found[1]($request, ...$found[2]),
                Dispatcher::METHOD_NOT_ALLOWED => $this->problem(405, 'try ' . implode(', ', $found[1])),
                default => $this->problem(404, 'there is nothing here'),
            };
        } catch (Problem $problem) {
            return $this->problem($problem->status, $problem->getMessage());
        } catch (Throwable $error) {
            $this->services['log']->error('a request failed', ['exception' => $error]);

            return $this->problem(500, 'something went wrong');
        }
    }

    private function health(): ResponseInterface
    {
        try {
            $alive = $this->services['baskets']->alive();
        } catch (Throwable) {
            $alive = false;
        }

        return $alive ? $this->json(200, ['status' => 'ok']) : $this->problem(503, 'Redis does not answer');
    }

    private function window(): ResponseInterface
    {
        return $this->page('window', ['title' => 'Storefront', 'products' => $this->services['products']->all()]);
    }

    private function product(ServerRequestInterface $request, string $id): ResponseInterface
    {
        $product = $this->services['products']->find($id) ?? throw new Problem(404, "there is no product $id");
        if (str_contains($request->getServerParams()['HTTP_ACCEPT'] ?? '', 'application/json')) {
            return $this->json(200, $product);
        }

        return $this->page('product', ['title' => $product['name'], 'product' => $product]);
    }

    private function open(): ResponseInterface
    {
        $id = $this->services['baskets']->open();
        $this->services['log']->info('a basket was opened', ['basket' => $id]);

        return $this->json(201, ['id' => $id])->withHeader('Location', "/baskets/$id");
    }

    private function basket(ServerRequestInterface $request, string $id): ResponseInterface
    {
        return $this->json(200, $this->services['baskets']->read($id));
    }

    private function put(ServerRequestInterface $request, string $id, string $product): ResponseInterface
    {
        $told = json_decode((string) $request->getBody(), true);
        $this->services['baskets']->put($id, $product, is_array($told) ? $told['quantity'] ?? null : null);

        return $this->basket($request, $id);
    }

    /** @param array<string, mixed> $values */
    private function page(string $name, array $values): ResponseInterface
    {
        return $this->answer(200, 'text/html; charset=utf-8', $this->services['pages']->render($name, $values));
    }

    private function problem(int $status, string $detail): ResponseInterface
    {
        $body = json_encode(['status' => $status, 'detail' => $detail], JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);

        return $this->answer($status, 'application/problem+json', $body);
    }

    /** @param array<string, mixed> $value */
    private function json(int $status, array $value): ResponseInterface
    {
        return $this->answer($status, 'application/json', json_encode($value, JSON_THROW_ON_ERROR));
    }

    private function answer(int $status, string $type, string $body): ResponseInterface
    {
        $factory = $this->services['factory'];

        return $factory->createResponse($status)
            ->withHeader('Content-Type', $type)
            ->withBody($factory->createStream($body));
    }
}
