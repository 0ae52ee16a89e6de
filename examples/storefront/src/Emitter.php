<?php

declare(strict_types=1);

namespace Storefront;

use Nyholm\Psr7\Factory\Psr17Factory;
use Psr\Http\Message\ResponseInterface;
use Psr\Http\Message\ServerRequestInterface;

/** Between PHP's own variables and PSR-7. */
final class Emitter
{
    public static function request(Psr17Factory $factory): ServerRequestInterface
    {
        $uri = 'http://' . ($_SERVER['HTTP_HOST'] ?? 'localhost') . ($_SERVER['REQUEST_URI'] ?? '/');
        $request = $factory->createServerRequest($_SERVER['REQUEST_METHOD'] ?? 'GET', $uri, $_SERVER);

        return $request->withBody($factory->createStreamFromFile('php://input'));
    }

    public static function emit(ResponseInterface $response): void
    {
        http_response_code($response->getStatusCode());
        foreach ($response->getHeaders() as $name => $values) {
            foreach ($values as $value) {
                header("$name: $value", false);
            }
        }
        echo $response->getBody();
    }
}
