<?php

declare(strict_types=1);

namespace Storefront;

use Predis\Client;
use Ramsey\Uuid\Uuid;

/** Baskets in Redis: a hash of product and quantity each, gone after a day. */
final class Baskets
{
    private const SECONDS = 86400;
    private const MOST = 99;

    public function __construct(private readonly Client $redis, private readonly Products $products)
    {
    }

    public function alive(): bool
    {
        return (string) $this->redis->ping() === 'PONG';
    }

    public function open(): string
    {
        $id = Uuid::uuid7()->toString();
        $this->redis->hset("basket:$id", 'opened', (string) time());
        $this->redis->expire("basket:$id", self::SECONDS);

        return $id;
    }

    /** @return array{id: string, items: list<array{id: string, quantity: int}>, total: int} */
    public function read(string $id): array
    {
        $held = Uuid::isValid($id) ? $this->redis->hgetall("basket:$id") : [];
        if ($held === []) {
            throw new Problem(404, "there is no basket $id");
        }
        unset($held['opened']);
        ksort($held);
        [$items, $total] = [[], 0];
        foreach ($held as $product => $quantity) {
            $items[] = ['id' => (string) $product, 'quantity' => (int) $quantity];
            $total += (int) $quantity * ($this->products->find((string) $product)['price'] ?? 0);
        }

        return ['id' => $id, 'items' => $items, 'total' => $total];
    }

    public function put(string $id, string $product, mixed $quantity): void
    {
        $this->read($id);
        if ($this->products->find($product) === null) {
            throw new Problem(422, "there is no product $product");
        }
        if (!is_int($quantity) || $quantity < 1 || $quantity > self::MOST) {
            throw new Problem(422, 'quantity is a whole number from 1 to ' . self::MOST);
        }
        $this->redis->hset("basket:$id", $product, (string) $quantity);
    }
}
