<?php use function Storefront\escaped; ?>
<?php use function Storefront\price; ?>
<ul>
<?php foreach ($products as $product): ?>
    <li><a href="/products/<?= escaped($product['id']) ?>"><?= escaped($product['name']) ?></a>, <?= price($product['price']) ?></li>
<?php endforeach ?>
</ul>
