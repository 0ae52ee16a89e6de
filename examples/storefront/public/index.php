<?php

declare(strict_types=1);

use Storefront\Application;
use Storefront\Emitter;
use Storefront\Services;

require __DIR__ . '/../vendor/autoload.php';

$services = Services::fromEnvironment(dirname(__DIR__));
$application = new Application($services);
Emitter::emit($application->handle(Emitter::request($services['factory'])));
