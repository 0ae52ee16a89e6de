<?php

declare(strict_types=1);

namespace Storefront;

use Monolog\Formatter\JsonFormatter;
use Monolog\Handler\StreamHandler;
use Monolog\Level;
use Monolog\Logger;
use Nyholm\Psr7\Factory\Psr17Factory;
use Parsedown;
use Pimple\Container;
use Predis\Client;

/** What the parts of the shop share, each made when it is first asked for. */
final class Services extends Container
{
    public static function fromEnvironment(string $root): self
    {
        $services = new self();
        $services['factory'] = fn () => new Psr17Factory();
        $services['markdown'] = fn () => (new Parsedown())->setSafeMode(true);
        $services['redis'] = fn () => new Client(getenv('REDIS_URL') ?: 'redis://127.0.0.1:6379/0', ['timeout' => 2]);
        $services['products'] = fn () => new Products($root . '/products.json');
        $services['baskets'] = fn (self $all) => new Baskets($all['redis'], $all['products']);
        $services['pages'] = fn (self $all) => new Pages($root . '/templates', $all['markdown']);
        $services['log'] = function (): Logger {
            $handler = new StreamHandler('php://stderr', Level::fromName(getenv('LOG_LEVEL') ?: 'info'));
            $handler->setFormatter(new JsonFormatter());

            return new Logger('storefront', [$handler]);
        };

        return $services;
    }
}
